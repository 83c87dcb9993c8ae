"""How long coding an image and a step of training take, beside peers on the same machine."""
