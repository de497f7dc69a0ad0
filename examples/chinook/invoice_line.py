"""How public.invoice_line corresponds to public.sale_line."""

from compat import rules, tables
from compat.mapping import Mapping

MAPPING = Mapping(
    "invoice_line",
    tables.Table(
        "public",
        "invoice_line",
        columns=(
            tables.Column(
                "invoice_line_id",
                "integer",
                nullable=False,
                default="nextval('public.invoice_line_invoice_line_id_seq'::regclass)",
            ),
            tables.Column("invoice_id", "integer", nullable=False),
            tables.Column("track_id", "integer", nullable=False),
            tables.Column("unit_price", "numeric(10,2)", nullable=False),
            tables.Column("quantity", "integer", nullable=False),
        ),
        constraints=(
            tables.Constraint(
                "invoice_line_pkey",
                "primary_key",
                columns=("invoice_line_id",),
                definition="PRIMARY KEY (invoice_line_id)",
            ),
            tables.Constraint(
                "invoice_line_invoice_id_fkey",
                "foreign_key",
                columns=("invoice_id",),
                definition="FOREIGN KEY (invoice_id) REFERENCES public.invoice(invoice_id)",
            ),
            tables.Constraint(
                "invoice_line_track_id_fkey",
                "foreign_key",
                columns=("track_id",),
                definition="FOREIGN KEY (track_id) REFERENCES public.track(track_id)",
            ),
        ),
        indexes=(
            tables.Index("invoice_line_invoice_id_idx", definition="USING btree (invoice_id)"),
            tables.Index("invoice_line_track_id_idx", definition="USING btree (track_id)"),
        ),
        sequences=(
            tables.Sequence("public", "invoice_line_invoice_line_id_seq", column="invoice_line_id"),
        ),
    ),
    tables.Table(
        "public",
        "sale_line",
        columns=(
            tables.Column("id", "uuid", nullable=False, default="gen_random_uuid()"),
            tables.Column("number", "integer", nullable=False),
            tables.Column("sale_id", "uuid", nullable=False),
            tables.Column("sale_number", "integer", nullable=False),
            tables.Column("track_id", "integer", nullable=False),
            tables.Column("unit_price_cents", "integer", nullable=False),
            tables.Column("quantity", "integer", nullable=False),
        ),
        constraints=(
            tables.Constraint(
                "sale_line_pkey",
                "primary_key",
                columns=("id",),
                definition="PRIMARY KEY (id)",
            ),
            tables.Constraint(
                "sale_line_number_key",
                "unique",
                columns=("number",),
                definition="UNIQUE (number)",
            ),
            tables.Constraint(
                "sale_line_sale_id_fkey",
                "foreign_key",
                columns=("sale_id",),
                definition="FOREIGN KEY (sale_id) REFERENCES public.sale(id)",
            ),
            tables.Constraint(
                "sale_line_track_id_fkey",
                "foreign_key",
                columns=("track_id",),
                definition="FOREIGN KEY (track_id) REFERENCES public.track(track_id)",
            ),
        ),
        indexes=(
            tables.Index("sale_line_sale_id_idx", definition="USING btree (sale_id)"),
            tables.Index("sale_line_sale_number_idx", definition="USING btree (sale_number)"),
            tables.Index("sale_line_track_id_idx", definition="USING btree (track_id)"),
        ),
    ),
    rules=(
        rules.Column("invoice_line_id", "number"),
        rules.Lookup(
            "invoice_id",
            "sale_id",
            parent=rules.Referenced("public", "sale", legacy="number"),
            keep="sale_number",
        ),
        rules.Column("track_id", "track_id"),
        rules.Cast("unit_price", "unit_price_cents", factor=100),
        rules.Column("quantity", "quantity"),
    ),
)
