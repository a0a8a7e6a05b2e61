"""Quality: how well raters agree, whom to believe how much, and who is kept from harming the pool."""
