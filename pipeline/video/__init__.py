"""What a film is: probing, decoding in order, frames with presentation times, and their kinematics."""
