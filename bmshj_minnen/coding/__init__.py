"""Images <-> bytes: exact networks, the order of coding, the container."""
