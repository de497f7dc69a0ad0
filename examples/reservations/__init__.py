"""A monolith that holds reservations of stock, and a microservice that is to take them over.
Two databases, which know nothing of each other; the toolkit moves the active reservations.

How a stranger runs it, from a checkout with an activated environment and two empty databases:

    export COMPAT_SOURCE_URL=postgresql://…/monolith COMPAT_TARGET_URL=postgresql://…/orders
    alembic -x url=$COMPAT_TARGET_URL upgrade inventory_reservations@head
    PYTHONPATH=examples python -m reservations --rows 2000
    compat move alembic/mappings/inventory_reservations.py --verbose
    compat move alembic/mappings/inventory_reservations.py --execute
    compat unmove inventory_reservations --execute

The third line fills the monolith with reservations of products, and the microservice with the
listings of most of them: what is reserved of a product without a listing is skipped, and named.
"""
