"""What reaches a device's driver from C."""
