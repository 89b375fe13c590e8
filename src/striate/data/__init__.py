"""Files on disk -> checked, fingerprinted, class-aligned splits -> uint8 batches; draws apart from their use."""
