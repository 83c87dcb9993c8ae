"""Do the priors rank as in the paper, at equal training?"""
