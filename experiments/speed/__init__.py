"""Times of coding an image and of a training step, compared with peers on the same machine."""
