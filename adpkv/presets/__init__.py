"""Costs that a person can choose: a published model on a published device, by a roofline."""
