"""Where slides, words, models and labels meet."""
