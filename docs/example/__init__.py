"""A partner API that shows how an application is built on partman."""
