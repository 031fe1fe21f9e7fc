"""Networks of timm and torchvision, and the task module that trains them."""
