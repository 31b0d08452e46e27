"""Bills in yen from half-hours and `[tariff]`: pure functions, but for the file of market prices.

`pricing.Pricing` is the face for others.
"""
