"""Quality as a dial: its effect on bytes and PSNR, and the accuracy of targets."""
