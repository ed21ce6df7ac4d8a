"""The commands for people with videos and for those who run builds, a file per trade; `cli` collects them."""
