"""The bundle (weights, preprocessing, classes, card) and the predictor that reads it."""
