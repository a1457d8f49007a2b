"""The failures of the field as stories: each must show with its historical policy, none without."""
