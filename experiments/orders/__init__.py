"""Orders of coding and densities, trained alike on equal latents."""
