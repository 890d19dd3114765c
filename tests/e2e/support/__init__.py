"""What the stories need: the engine under test, real clients, test images, and a look at the host from outside."""
