"""What an event is: decode, rules, card-number guard, outcome, taxonomy of failures."""
