"""The explorer in the browser: runs looked at, and trainings outside the web process watched live."""
