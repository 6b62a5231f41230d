"""The shop: a small web application as a real process, whose behaviour is chosen by its image's tag."""
