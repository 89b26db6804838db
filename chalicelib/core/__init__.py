"""What the product does, in its own words; knows neither HTTP nor boto."""
