# Roundcube: the database that its package could not create while the image was built, and its settings.

# php_setting FILE KEY VALUE: replace $config['KEY'] = ...; or add it
php_setting() {
    local file=$1 key=$2 value=$3
    if grep -q "^\$config\['$key'\]" "$file"; then
        # an array may span lines: up to the first line that ends the statement
        KEY=$key VALUE=$value perl -0pi -e 's/^\$config\[\x27$ENV{KEY}\x27\] = .*?;$/\$config[\x27$ENV{KEY}\x27] = $ENV{VALUE};/ms' "$file"
    else
        printf "\$config['%s'] = %s;\n" "$key" "$value" >> "$file"
    fi
}

# roundcube_database: as dbconfig would have made it, with the password dbconfig chose
roundcube_database() {
    # Its daily timer catches up at the first boot of a day, and asks a database that is not there yet
    mkdir -p /etc/systemd/system/roundcube-cleandb.service.d
    printf '[Unit]\nAfter=mariadb.service\n' > /etc/systemd/system/roundcube-cleandb.service.d/lab.conf
    local password
    password=$(php -r 'include "/etc/roundcube/debian-db.php"; echo $dbpass;')
    mariadb <<SQL
DROP DATABASE IF EXISTS roundcube;
CREATE DATABASE roundcube;
CREATE OR REPLACE USER 'roundcube'@'localhost' IDENTIFIED BY '$password';
GRANT ALL PRIVILEGES ON roundcube.* TO 'roundcube'@'localhost';
SQL
    mariadb roundcube < /usr/share/roundcube/SQL/mysql.initial.sql
}

# roundcube_plugins ADMIN_PASSWORD: users set filters and change their passwords
roundcube_plugins() {
    php_setting /etc/roundcube/config.inc.php plugins "array('managesieve', 'password')"
    put /etc/roundcube/plugins/password/config.inc.php 0640 root:www-data <<PHP
<?php
\$config = array();
\$config['password_driver'] = 'sql';
\$config['password_minimum_length'] = 12;
\$config['password_force_save'] = true;
\$config['password_algorithm'] = 'blowfish-crypt';
\$config['password_algorithm_prefix'] = '{CRYPT}';
\$config['password_db_dsn'] = 'mysql://$DATABASE_ADMIN:$1@localhost/$DATABASE';
\$config['password_query'] = 'UPDATE virtual_users SET password=%P WHERE email=%u';
PHP
    put /etc/roundcube/plugins/managesieve/config.inc.php 0644 root:root <<'PHP'
<?php
$config = array();
$config['managesieve_host'] = 'localhost';
PHP
    php -l /etc/roundcube/config.inc.php >/dev/null
}
