-- References within the table of people, for when the copy is done: until then the sync brings people
-- whose manager may still be missing.

ALTER TABLE person ADD FOREIGN KEY (manager_number) REFERENCES person (employee_number) NOT VALID;
ALTER TABLE person ADD FOREIGN KEY (adviser_number) REFERENCES person (employee_number) NOT VALID;
ALTER TABLE person VALIDATE CONSTRAINT person_manager_number_fkey;
ALTER TABLE person VALIDATE CONSTRAINT person_adviser_number_fkey;
