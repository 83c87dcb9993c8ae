"""An archive in operation: nights, verification, a server under load, previews."""
