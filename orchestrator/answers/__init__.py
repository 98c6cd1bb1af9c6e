"""What a sweep came to: scores, tests of significance, claims, diagnoses, tables and pictures."""
