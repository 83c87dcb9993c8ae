"""Quality as a dial: what it does to bytes and PSNR, and whether targets are met."""
