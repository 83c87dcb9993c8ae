"""Files written under one setting of the machine decode to the same ŷ under every other."""
