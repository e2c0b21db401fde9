"""Where a service runs beside this machine: files for containers, Kubernetes, systemd, proxies and CI, and images."""
