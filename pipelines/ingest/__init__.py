"""Reading data sets: every file is checked whole, and either all of it enters the store or nothing."""
