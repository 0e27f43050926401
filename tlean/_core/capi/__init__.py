"""What modules of other projects use at C level: the header `tlean.h`, and the table of functions behind it."""
