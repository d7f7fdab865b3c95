"""Models of others behind the Segmenter protocol, one file each."""
