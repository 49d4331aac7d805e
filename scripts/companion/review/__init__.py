"""Reviews: what is looked at, how the model is asked, and what its findings are worth."""
