"""What a legacy application says to the sample database; it knows nothing of any migration.

Every query has an order, and no write depends on the clock, so that two databases with the same
history give the same answers.
"""

from __future__ import annotations

QUERIES: dict[str, str] = {
    "sales per country": """
        SELECT billing_country, count(*), sum(total), round(avg(total), 2), max(invoice_date)
        FROM invoice GROUP BY billing_country ORDER BY sum(total) DESC, 1""",
    "sales per year and quarter": """
        SELECT extract(year FROM invoice_date), extract(quarter FROM invoice_date), sum(total)
        FROM invoice GROUP BY ROLLUP (1, 2) ORDER BY 1, 2""",
    "the ten best customers": """
        SELECT c.customer_id, c.first_name || ' ' || c.last_name, c.country, sum(i.total) AS spent
        FROM customer c JOIN invoice i ON i.customer_id = c.customer_id
        GROUP BY c.customer_id, c.first_name, c.last_name, c.country
        ORDER BY spent DESC, c.customer_id LIMIT 10""",
    "the best customer of each country": """
        WITH spent AS (
            SELECT c.country, c.customer_id, c.last_name, sum(i.total) AS total
            FROM customer c JOIN invoice i USING (customer_id) GROUP BY 1, 2, 3
        ), ranked AS (
            SELECT *, rank() OVER (PARTITION BY country ORDER BY total DESC) AS place FROM spent
        )
        SELECT country, customer_id, last_name, total FROM ranked WHERE place = 1 ORDER BY 1, 2""",
    "customers that never bought": """
        SELECT customer_id, email FROM customer c
        WHERE NOT EXISTS (SELECT FROM invoice i WHERE i.customer_id = c.customer_id) ORDER BY 1""",
    "customers without an address": """
        SELECT customer_id, first_name, last_name FROM customer
        WHERE address IS NULL AND city IS NULL ORDER BY 1""",
    "customers of a city": """
        SELECT * FROM customer WHERE lower(city) LIKE '%rich' OR city = 'Paris'
        ORDER BY last_name, customer_id""",
    "one customer": "SELECT * FROM customer WHERE customer_id = 7",
    "customers of a page": "SELECT * FROM customer ORDER BY customer_id LIMIT 10 OFFSET 10",
    "customers by their first letter": """
        SELECT left(last_name, 1), count(*), array_agg(customer_id ORDER BY customer_id)
        FROM customer GROUP BY 1 ORDER BY 1""",
    "employees and their bosses": """
        SELECT e.employee_id, e.last_name, e.title, b.last_name, b.title
        FROM employee e LEFT JOIN employee b ON b.employee_id = e.reports_to
        ORDER BY e.employee_id""",
    "the hierarchy": """
        WITH RECURSIVE chain AS (
            SELECT employee_id, last_name, 0 AS depth, last_name::text AS path
            FROM employee WHERE reports_to IS NULL
            UNION ALL
            SELECT e.employee_id, e.last_name, depth + 1, path || ' > ' || e.last_name
            FROM employee e JOIN chain c ON e.reports_to = c.employee_id
        )
        SELECT * FROM chain ORDER BY path, employee_id""",
    "employees with their customers and sales": """
        SELECT e.employee_id, e.last_name, count(DISTINCT c.customer_id), count(i.invoice_id),
               coalesce(sum(i.total), 0)
        FROM employee e
        LEFT JOIN customer c ON c.support_rep_id = e.employee_id
        LEFT JOIN invoice i ON i.customer_id = c.customer_id
        GROUP BY 1, 2 ORDER BY 1""",
    "seniority": """
        SELECT employee_id, hire_date, hire_date - lag(hire_date) OVER later,
               extract(epoch FROM hire_date), age(hire_date, birth_date)
        FROM employee WINDOW later AS (ORDER BY hire_date, employee_id)
        ORDER BY hire_date, employee_id""",
    "people who live where a colleague does": """
        SELECT a.employee_id, b.employee_id, a.city FROM employee a JOIN employee b
        ON a.city = b.city AND a.employee_id < b.employee_id ORDER BY 1, 2""",
    "everybody's address": """
        SELECT 'employee' AS kind, employee_id AS id, last_name, address, city, country
        FROM employee
        UNION ALL
        SELECT 'customer', customer_id, last_name, address, city, country FROM customer
        ORDER BY 1, 2""",
    "one invoice with its lines": """
        SELECT i.*, l.*, t.name, l.unit_price * l.quantity
        FROM invoice i JOIN invoice_line l USING (invoice_id) JOIN track t USING (track_id)
        WHERE i.invoice_id = 11 ORDER BY l.invoice_line_id""",
    "invoices whose total is not that of their lines": """
        SELECT i.invoice_id, i.total, sum(l.unit_price * l.quantity)
        FROM invoice i LEFT JOIN invoice_line l ON l.invoice_id = i.invoice_id
        GROUP BY i.invoice_id, i.total
        HAVING i.total IS DISTINCT FROM sum(l.unit_price * l.quantity) ORDER BY 1""",
    "invoices of a customer": """
        SELECT * FROM invoice WHERE customer_id = 7 ORDER BY invoice_date DESC, invoice_id""",
    "invoices of a month": """
        SELECT invoice_id, customer_id, invoice_date::date, total FROM invoice
        WHERE invoice_date >= '2021-03-01' AND invoice_date < '2021-04-01'
        ORDER BY invoice_date, invoice_id""",
    "the last invoice of every customer": """
        SELECT DISTINCT ON (c.customer_id) c.customer_id, c.email, i.invoice_id, i.total
        FROM customer c LEFT JOIN invoice i ON i.customer_id = c.customer_id
        ORDER BY c.customer_id, i.invoice_date DESC, i.invoice_id DESC""",
    "running totals": """
        SELECT customer_id, invoice_id, sum(total) OVER (
            PARTITION BY customer_id ORDER BY invoice_date, invoice_id)
        FROM invoice ORDER BY 1, 2""",
    "tracks that sell": """
        SELECT t.track_id, t.name, sum(l.quantity) AS sold, sum(l.quantity * l.unit_price)
        FROM invoice_line l JOIN track t USING (track_id)
        GROUP BY 1, 2 ORDER BY sold DESC, 1 LIMIT 20""",
    "sales per genre and country": """
        SELECT g.name, c.country, sum(l.quantity), sum(l.unit_price * l.quantity)
        FROM invoice_line l JOIN invoice i USING (invoice_id) JOIN customer c USING (customer_id)
        JOIN track t USING (track_id) JOIN genre g USING (genre_id)
        GROUP BY 1, 2 ORDER BY 1, 2""",
    "what a representative sold of an artist": """
        SELECT e.last_name, ar.name, count(*), sum(l.unit_price * l.quantity)
        FROM employee e JOIN customer c ON c.support_rep_id = e.employee_id
        JOIN invoice i ON i.customer_id = c.customer_id
        JOIN invoice_line l ON l.invoice_id = i.invoice_id
        JOIN track t ON t.track_id = l.track_id JOIN album al ON al.album_id = t.album_id
        JOIN artist ar ON ar.artist_id = al.artist_id
        GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 25""",
    "share of each line in its invoice": """
        SELECT invoice_id, invoice_line_id, round(unit_price * quantity / sum(unit_price * quantity)
            OVER (PARTITION BY invoice_id), 4)
        FROM invoice_line WHERE invoice_id BETWEEN 20 AND 40 ORDER BY 1, 2""",
    "customers who bought the same track": """
        SELECT a.customer_id, b.customer_id, count(*) FROM invoice a
        JOIN invoice_line la ON la.invoice_id = a.invoice_id
        JOIN invoice_line lb ON lb.track_id = la.track_id
        JOIN invoice b ON b.invoice_id = lb.invoice_id AND a.customer_id < b.customer_id
        GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 15""",
}

_NEWEST_CUSTOMER = "(SELECT max(customer_id) FROM customer)"
_NEWEST_EMPLOYEE = "(SELECT max(employee_id) FROM employee)"
_NEWEST_INVOICE = "(SELECT max(invoice_id) FROM invoice)"
_OLDEST_INVOICE = "(SELECT min(invoice_id) FROM invoice)"
_NEWEST_LINE = "(SELECT max(invoice_line_id) FROM invoice_line)"

WRITES: dict[str, tuple[str, ...]] = {
    "a new customer": (
        """INSERT INTO customer (first_name, last_name, address, city, country, email,
            support_rep_id)
        VALUES ('Zoë', 'Łuka', '1 New Street', 'Łódź', 'Poland', 'zoe@example.org', 3)
        RETURNING *""",
    ),
    "a new customer without an address": (
        """INSERT INTO customer (first_name, last_name, email)
        VALUES ('No', 'Address', 'n@example.org')
        RETURNING customer_id, address, support_rep_id""",
    ),
    "several new customers": (
        """INSERT INTO customer (first_name, last_name, email, city)
        SELECT 'Guest', 'No ' || n, n || '@example.org', CASE WHEN n > 1 THEN 'Basel' END
        FROM generate_series(1, 3) n RETURNING customer_id, last_name, city""",
    ),
    "a customer moves": (
        """UPDATE customer SET address = '2 Other Street', city = 'Paris', country = 'France',
            postal_code = '75001' WHERE customer_id = 7 RETURNING *""",
    ),
    "a customer gets a first address": (
        f"UPDATE customer SET city = 'Bern' WHERE customer_id = {_NEWEST_CUSTOMER} RETURNING *",
    ),
    "a customer's address is removed": (
        """UPDATE customer SET address = NULL, city = NULL, state = NULL, country = NULL,
            postal_code = NULL WHERE customer_id = 9 RETURNING *""",
    ),
    "customers are renamed and moved at once": (
        """UPDATE customer SET last_name = upper(last_name), city = reverse(city)
        WHERE customer_id IN (4, 5, 6) RETURNING customer_id, last_name, city""",
    ),
    "customers of a representative go to another": (
        """UPDATE customer SET support_rep_id = e.employee_id FROM employee e
        WHERE e.employee_id = 4 AND customer.support_rep_id = 5 AND customer.customer_id % 2 = 0""",
        "UPDATE customer SET support_rep_id = 5 WHERE support_rep_id = 4 AND customer_id % 3 = 0",
    ),
    "an employee is hired": (
        """INSERT INTO employee (last_name, first_name, title, reports_to, hire_date, city)
        VALUES ('Hired', 'Hanna', 'IT Staff', 6, '2024-02-29 08:15:00.123456', 'Calgary')
        RETURNING *""",
    ),
    "an employee is hired with customers to look after": (
        """WITH hired AS (
            INSERT INTO employee (last_name, first_name, title, reports_to)
            VALUES ('New', 'Rep', 'Sales Support Agent', 2) RETURNING employee_id)
        SELECT employee_id FROM hired""",
        f"UPDATE customer SET support_rep_id = {_NEWEST_EMPLOYEE} WHERE customer_id < 4",
        "UPDATE customer SET support_rep_id = 3 WHERE customer_id < 4 RETURNING customer_id",
    ),
    "a manager and a subordinate arrive in one statement": (
        """INSERT INTO employee (employee_id, last_name, first_name, reports_to)
        SELECT first + n, 'Pair', 'No ' || n, CASE WHEN n = 1 THEN first END
        FROM (SELECT max(employee_id) + 500 AS first FROM employee) AS f, generate_series(0, 1) n
        RETURNING first_name, reports_to = employee_id - 1""",
        "DELETE FROM employee WHERE last_name = 'Pair' AND first_name = 'No 1' RETURNING title",
        "DELETE FROM employee WHERE last_name = 'Pair' RETURNING first_name",
    ),
    "a subordinate arrives before the manager, who is dismissed first": (
        """INSERT INTO employee (employee_id, last_name, first_name, reports_to)
        SELECT first + n, 'Couple', 'No ' || n, CASE WHEN n = 0 THEN first + 1 END
        FROM (SELECT max(employee_id) + 700 AS first FROM employee) AS f, generate_series(0, 1) n
        RETURNING first_name, reports_to = employee_id + 1""",
        "UPDATE employee SET reports_to = employee_id WHERE last_name = 'Couple' RETURNING title",
        """UPDATE employee SET reports_to = CASE WHEN first_name = 'No 1' THEN employee_id - 1 END
        WHERE last_name = 'Couple' RETURNING first_name""",
        "DELETE FROM employee WHERE last_name = 'Couple' RETURNING first_name",
    ),
    "an employee is promoted": (
        """UPDATE employee SET title = 'IT Manager', reports_to = 1 WHERE employee_id = 7
        RETURNING employee_id, title, reports_to""",
    ),
    "an employee moves house": (
        """UPDATE employee SET address = '3 Hill', postal_code = NULL WHERE employee_id = 3
        RETURNING *""",
    ),
    "an employee becomes their boss's boss": (
        "UPDATE employee SET reports_to = 7 WHERE employee_id = 6",
        "UPDATE employee SET reports_to = CASE employee_id WHEN 6 THEN 1 ELSE 6 END"
        " WHERE employee_id IN (6, 7) RETURNING employee_id, reports_to",
    ),
    "the newest employee is dismissed": (
        f"DELETE FROM employee WHERE employee_id = {_NEWEST_EMPLOYEE} RETURNING *",
    ),
    "an employee with customers cannot be dismissed": (
        "DELETE FROM employee WHERE employee_id = 3",
    ),
    "a manager cannot be dismissed": ("DELETE FROM employee WHERE employee_id = 2",),
    "a boss who does not exist": ("UPDATE employee SET reports_to = -1 WHERE employee_id = 8",),
    "a representative who does not exist": (
        "UPDATE customer SET support_rep_id = -1 WHERE customer_id = 8",
    ),
    "a representative who is a customer": (
        f"UPDATE customer SET support_rep_id = {_NEWEST_CUSTOMER} WHERE customer_id = 8",
    ),
    "a customer number that is taken": (
        """INSERT INTO customer (customer_id, first_name, last_name, email)
        VALUES (7, 'a', 'b', 'c')""",
    ),
    "an employee number that is taken": (
        "INSERT INTO employee (employee_id, first_name, last_name) VALUES (7, 'a', 'b')",
    ),
    "an employee number that only a customer has": (
        f"""INSERT INTO employee (employee_id, first_name, last_name)
        VALUES ({_NEWEST_CUSTOMER} + 100000, 'Same', 'Number') RETURNING last_name""",
        "DELETE FROM employee WHERE last_name = 'Number' RETURNING first_name",
    ),
    "a customer without an email": (
        "INSERT INTO customer (first_name, last_name) VALUES ('No', 'Mail')",
    ),
    "a customer loses the last name": (
        "UPDATE customer SET last_name = NULL WHERE customer_id = 7",
    ),
    "a name that is too long": (
        "UPDATE employee SET first_name = repeat('x', 21) WHERE employee_id = 3",
    ),
    "an order": (
        """INSERT INTO invoice (customer_id, invoice_date, billing_city, total)
        VALUES (7, '2025-12-31 23:59:59.999999', 'Paris', 3.97) RETURNING *""",
        """INSERT INTO invoice_line (invoice_id, track_id, unit_price, quantity)
        VALUES (currval('invoice_invoice_id_seq'), 2, 0.99, 2),
               (currval('invoice_invoice_id_seq'), 10, 1.99, 1) RETURNING *""",
    ),
    "a new customer orders": (
        """INSERT INTO customer (first_name, last_name, email)
        VALUES ('Walk', 'In', 'w@example.org')
        RETURNING customer_id""",
        """INSERT INTO invoice (customer_id, invoice_date, total)
        VALUES (currval('customer_customer_id_seq'), '2025-06-01', 0.99)
        RETURNING invoice_id, customer_id""",
        """INSERT INTO invoice_line (invoice_id, track_id, unit_price, quantity)
        VALUES (currval('invoice_invoice_id_seq'), 3, 0.99, 1)
        RETURNING invoice_line_id, invoice_id""",
    ),
    "an order of a customer who does not exist": (
        "INSERT INTO invoice (customer_id, invoice_date, total) VALUES (-1, '2025-01-01', 0)",
    ),
    "an order that fails with its second line": (
        "INSERT INTO invoice (customer_id, invoice_date, total) VALUES (8, '2025-01-01', 1)",
        """INSERT INTO invoice_line (invoice_id, track_id, unit_price, quantity)
        VALUES (currval('invoice_invoice_id_seq'), 1, 0.99, 1),
            (currval('invoice_invoice_id_seq'), -1, 0.99, 1)""",
    ),
    "a line of an invoice that does not exist": (
        """INSERT INTO invoice_line (invoice_id, track_id, unit_price, quantity)
        VALUES (-1, 1, 1, 1)""",
    ),
    "a line without a price": (
        f"""INSERT INTO invoice_line (invoice_id, track_id, quantity)
        VALUES ({_NEWEST_INVOICE}, 1, 1)""",
    ),
    "quantities change, and the total with them": (
        f"UPDATE invoice_line SET quantity = quantity + 1 WHERE invoice_id = {_NEWEST_INVOICE}"
        " RETURNING *",
        f"""UPDATE invoice SET total = (SELECT sum(unit_price * quantity) FROM invoice_line l
            WHERE l.invoice_id = invoice.invoice_id)
        WHERE invoice_id = {_NEWEST_INVOICE} RETURNING invoice_id, total""",
    ),
    "prices of one genre are lowered": (
        """UPDATE invoice_line l SET unit_price = l.unit_price - 0.10 FROM track t
        WHERE t.track_id = l.track_id AND t.genre_id = 2 AND l.invoice_id % 20 = 1
        RETURNING l.invoice_line_id, l.unit_price""",
    ),
    "an invoice goes to another customer": (
        """UPDATE invoice SET customer_id = customer_id % 20 + 1 WHERE invoice_id IN (11, 12)
        RETURNING *""",
    ),
    "a line goes to another invoice": (
        f"""UPDATE invoice_line SET invoice_id = 11 WHERE invoice_line_id = {_NEWEST_LINE}
        RETURNING *""",
    ),
    "a customer with invoices cannot be removed": ("DELETE FROM customer WHERE customer_id = 7",),
    "an invoice with lines cannot be removed": ("DELETE FROM invoice WHERE invoice_id = 11",),
    "an invoice is removed with its lines": (
        f"DELETE FROM invoice_line WHERE invoice_id = {_OLDEST_INVOICE} RETURNING *",
        f"DELETE FROM invoice WHERE invoice_id = {_OLDEST_INVOICE} RETURNING *",
    ),
    "customers that never bought are removed": (
        """DELETE FROM customer c WHERE customer_id % 2 = 0
        AND NOT EXISTS (SELECT FROM invoice i WHERE i.customer_id = c.customer_id)
        RETURNING customer_id, city""",
    ),
    "a customer gets another number": (
        f"""UPDATE customer SET customer_id = customer_id + 1000
        WHERE customer_id = {_NEWEST_CUSTOMER}
        AND NOT EXISTS (SELECT FROM invoice i WHERE i.customer_id = customer.customer_id)""",
    ),
    "a customer with invoices keeps the number": (
        "UPDATE customer SET customer_id = 4711 WHERE customer_id = 7",
    ),
    "a change that is taken back": (
        "UPDATE customer SET city = 'Nowhere'",
        "DELETE FROM invoice_line",
        "SELECT 1 / 0",
    ),
}
"""Transactions; the statements of each are executed in turn, and all undone when one fails."""
