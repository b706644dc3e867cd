"""Incidents: one for each trouble, from the assessments of a processor and what is counted of its failures."""
