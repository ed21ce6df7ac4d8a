"""The embedded data set: real video files rendered from 2-D physics, whose contacts are the labels."""
