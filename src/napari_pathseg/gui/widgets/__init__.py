"""Qt: one thin file for each part of the panel; what they do is in the controller."""
