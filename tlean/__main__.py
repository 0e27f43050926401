"""`python -m tlean`: what is installed, how fast it is, whether it computes right, and the main job."""

from tlean.cli import main

if __name__ == "__main__":
    main()
