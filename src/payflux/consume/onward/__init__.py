"""What a consumer needs that carries events onward, for a group of its own, and does not score them."""
