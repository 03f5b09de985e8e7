use crate::server::Home;
use serde_json::Value;

#[tokio::test]
async fn the_first_token_is_replaced_from_the_command_line() {
    let home = Home::new();
    let server = home.start().await;
    let (first, folder) = (server.token(), home.folder.path());
    let create = ["token", "create", "--operators", "--name", "mine"];
    let (code, stdout, stderr) = server.warren(&first, folder, &create).await;
    assert_eq!(code, 0, "{stderr}");
    let mine = stdout.trim().to_owned();
    let list = ["token", "list", "--operators", "-o", "json"];
    let (_, stdout, _) = server.warren(&mine, folder, &list).await;
    let tokens: Value = serde_json::from_str(&stdout).unwrap();
    let (old, new) = (&tokens["items"][0], &tokens["items"][1]);
    assert_eq!((&old["isBootstrap"], &new["name"]), (&true.into(), &"mine".into()));
    let revoke = ["token", "revoke", old["id"].as_str().unwrap(), "--operators"];
    let (code, stdout, stderr) = server.warren(&mine, folder, &revoke).await;
    assert_eq!((code, &*stdout), (0, ""), "{stderr}");
    assert_eq!(server.warren(&first, folder, &["tenant", "get"]).await.0, 4, "it is nobody's");
    let revoke = ["token", "revoke", new["id"].as_str().unwrap(), "--operators"];
    let (code, _, stderr) = server.warren(&mine, folder, &revoke).await;
    assert_eq!(code, 5, "{stderr}");
    assert!(stderr.contains("last-operator"), "{stderr}");

    server.warren(&mine, folder, &["tenant", "create", "acme", "--plan", "starter"]).await;
    let create = ["token", "create", "-t", "acme", "--role", "viewer", "--name", "ci"];
    let (code, stdout, stderr) = server.warren(&mine, folder, &create).await;
    assert_eq!(code, 0, "{stderr}");
    let viewer = stdout.trim().to_owned();
    let list = ["token", "list", "-t", "acme"];
    let (_, stdout, _) = server.warren(&mine, folder, &list).await;
    assert!(stdout.contains("viewer") && stdout.contains("ci"), "{stdout}");
    assert_eq!(server.warren(&viewer, folder, &list).await.0, 4);
}

#[tokio::test]
async fn whoever_lost_every_token_makes_another_beside_the_stopped_server() {
    let home = Home::new();
    let server = home.start().await;
    let (code, _, stderr) = home.bootstrap().await;
    assert_eq!(code, 1);
    assert!(stderr.contains("the database is held by pid"), "{stderr}");
    assert!(server.terminate().await.status.success());
    let (code, stdout, stderr) = home.bootstrap().await;
    assert_eq!((code, &*stdout), (0, ""), "{stderr}");
    let token = stderr.trim().rsplit(' ').next().unwrap().to_owned();
    let server = home.start().await;
    assert_eq!(server.get(&token, "/api/v1/tenants").await.0, 200);
}
