"""In production: events and histories kept, answers served, arms compared, runs updated."""
