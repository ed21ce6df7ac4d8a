"""What gives every frame of a clip a probability: networks and rules, all behind one face."""
