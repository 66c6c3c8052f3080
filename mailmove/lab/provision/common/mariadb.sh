# The control database: schema, its two users, and nothing in it.

# mariadb_small: a lab machine has little memory; a reader of the guide leaves the defaults
mariadb_small() {
    put /etc/mysql/mariadb.conf.d/90-mailmove-lab.cnf 0644 root:root <<'CNF'
# Only for the lab: several servers share one machine's memory.
[mysqld]
innodb_buffer_pool_size = 64M
innodb_log_file_size = 24M
performance_schema = OFF
CNF
    # An image that boots for the first time has every unit enabled that can be. With socket activation MariaDB would
    # listen on all addresses, whatever its bind-address says
    systemctl stop mariadb
    systemctl disable -q --now mariadb.socket mariadb-extra.socket 2>/dev/null || true    # Debian 11 has none
    systemctl start mariadb
}

# mariadb_control_database ADMIN_PASSWORD READER_PASSWORD: an empty control database.
# Both users exist for one host part only: Postfix is chrooted and reaches MariaDB by TCP, not by its socket.
mariadb_control_database() {
    local admin=$1 reader=$2
    mariadb <<SQL
DROP DATABASE IF EXISTS $DATABASE;
CREATE DATABASE $DATABASE;
CREATE OR REPLACE USER '$DATABASE_ADMIN'@'localhost' IDENTIFIED BY '$admin';
CREATE OR REPLACE USER '$DATABASE_READER'@'127.0.0.1' IDENTIFIED BY '$reader';
GRANT ALL PRIVILEGES ON $DATABASE.* TO '$DATABASE_ADMIN'@'localhost';
GRANT SELECT ON $DATABASE.* TO '$DATABASE_READER'@'127.0.0.1';
USE $DATABASE;
CREATE TABLE virtual_domains (
    id int(11) NOT NULL AUTO_INCREMENT,
    name varchar(50) NOT NULL,
    PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE virtual_users (
    id int(11) NOT NULL AUTO_INCREMENT,
    domain_id int(11) NOT NULL,
    email varchar(100) NOT NULL,
    password varchar(150) NOT NULL,
    quota $QUOTA_COLUMN(11) NOT NULL DEFAULT 0,
    PRIMARY KEY (id),
    UNIQUE KEY email (email),
    FOREIGN KEY (domain_id) REFERENCES virtual_domains(id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE virtual_aliases (
    id int(11) NOT NULL AUTO_INCREMENT,
    domain_id int(11) NOT NULL,
    source varchar(100) NOT NULL,
    destination varchar(100) NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY (domain_id) REFERENCES virtual_domains(id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
SQL
}
