"""A small HTTP server of one codec: bounded work, and the requests that it answers."""
