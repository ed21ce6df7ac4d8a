"""What takes minutes: thousands of clips, a million rows, hours of film, watched from outside."""
