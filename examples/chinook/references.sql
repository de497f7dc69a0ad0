-- References by number within the table of people, for when the copy is done.

ALTER TABLE person ADD FOREIGN KEY (adviser_number) REFERENCES person (employee_number) NOT VALID;
ALTER TABLE person VALIDATE CONSTRAINT person_adviser_number_fkey;
