"""Objects that the tests of this folder share."""

from __future__ import annotations

ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: shop
  namespace: shop
spec:
  hosts: [shop]
  http:
  - route:
    - destination:
        host: shpo
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: shop}
spec: {ports: [{port: 80, name: http}]}
"""
GOOD = ROUTE.replace("shpo", "shop")
