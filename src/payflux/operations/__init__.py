"""What operators ask a node: health, metrics page, export health, OpenAPI; and checkout."""
