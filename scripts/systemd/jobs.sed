# What scripts/install makes of jobs.toml for the service: secrets in files beside it, recording into
# the state directory of kei.service.
s|kei check --jobs jobs.toml|sudo kei check --jobs /etc/kei/jobs.toml|
s|docs/[a-z]*\.md|& in the folder that kei was installed from|
s|^# If the two shall not stand here.*|# The two stand in files of these names beside this one.|
s|^broute_id  *= "[^"]*"|broute_id_file  = "broute_id"|
s|^broute_pwd  *= "[^"]*"|broute_pwd_file = "broute_pwd"|
s|^#upload_key  *= "[^"]*"|#upload_key_file = "upload_key"|
s|"data"|"/var/lib/kei"|
s|"data/|"/var/lib/kei/|
