"""Measurements against peers, side by side. Not tests, and not part of what is installed."""

# What MiniLM needs in the configurations, whose settings are those of another encoder: it
# lower-cases, and its last layer is made for comparing sentences.
MINILM = {
    "components.bio_ner.model.encoder.casing": True,
    "components.bio_ner.model.encoder.layers": -1,
}
