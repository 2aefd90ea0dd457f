# The Debian package `agentrouter`, made by tools/package: cpack over the component `server`. Its dependencies are those that dpkg-shlibdeps finds.
include(GNUInstallDirs)
set(deploy ${PROJECT_SOURCE_DIR}/deploy)
set(package_dir ${PROJECT_BINARY_DIR}/package)

# Manual page, changelog and completions, which the program itself knows.
set(package_made ${package_dir}/agentrouter.1.gz ${package_dir}/changelog.gz ${package_dir}/README.Debian.gz ${package_dir}/agentrouter.bash
  ${package_dir}/_agentrouter ${package_dir}/agentrouter.fish)
add_custom_command(OUTPUT ${package_made}
  COMMAND Python3::Interpreter -B ${PROJECT_SOURCE_DIR}/tools/package_files.py $<TARGET_FILE:agentrouter> ${PROJECT_VERSION} ${package_dir}
  DEPENDS agentrouter ${PROJECT_SOURCE_DIR}/tools/package_files.py ${deploy}/debian/README.Debian VERBATIM)
add_custom_target(package_files DEPENDS ${package_made} agentrouter-git)

install(TARGETS agentrouter agentrouter-git RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT server)
install(FILES ${deploy}/systemd/agentrouter.service ${deploy}/systemd/agentrouter-api.service ${deploy}/systemd/agentrouter-worker.service
  ${deploy}/systemd/agentrouter.socket DESTINATION lib/systemd/system COMPONENT server)
install(FILES ${deploy}/systemd/agentrouter.sysusers DESTINATION lib/sysusers.d RENAME agentrouter.conf COMPONENT server)
install(FILES ${deploy}/systemd/agentrouter.tmpfiles DESTINATION lib/tmpfiles.d RENAME agentrouter.conf COMPONENT server)
install(FILES ${deploy}/debian/agentrouter.toml DESTINATION /etc/agentrouter COMPONENT server)
install(FILES ${deploy}/apparmor/agentrouter DESTINATION share/agentrouter/apparmor COMPONENT server)
install(FILES ${deploy}/systemd/as-root.conf ${deploy}/systemd/keep-runs.conf DESTINATION share/agentrouter/systemd COMPONENT server)
install(FILES ${package_dir}/agentrouter.1.gz DESTINATION share/man/man1 COMPONENT server)
install(CODE "file(CREATE_LINK agentrouter.1.gz \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/share/man/man1/agentrouter-git.1.gz\" SYMBOLIC)"
  COMPONENT server)
install(FILES ${package_dir}/agentrouter.bash DESTINATION share/bash-completion/completions RENAME agentrouter COMPONENT server)
install(FILES ${package_dir}/_agentrouter DESTINATION share/zsh/vendor-completions COMPONENT server)
install(FILES ${package_dir}/agentrouter.fish DESTINATION share/fish/vendor_completions.d COMPONENT server)
install(FILES ${deploy}/debian/copyright ${package_dir}/changelog.gz ${package_dir}/README.Debian.gz DESTINATION share/doc/agentrouter COMPONENT server)
install(FILES ${deploy}/debian/lintian-overrides DESTINATION share/lintian/overrides RENAME agentrouter COMPONENT server)
file(GLOB documents CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/*.md)
install(FILES ${documents} DESTINATION share/doc/agentrouter COMPONENT server)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs/formats ${PROJECT_SOURCE_DIR}/docs/decisions DESTINATION share/doc/agentrouter COMPONENT server)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME agentrouter)
set(CPACK_PACKAGE_VENDOR AgentRouter)
set(CPACK_PACKAGE_CONTACT "The AgentRouter authors <maintainers@agentrouter.org>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "self-hosted runtime that runs coding agents in sandboxes")
set(CPACK_INSTALL_CMAKE_PROJECTS "${PROJECT_BINARY_DIR};agentrouter;server;/")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/package_times.cmake)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION devel)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_COMPRESSION_TYPE gzip)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS
  "ca-certificates, systemd-standalone-sysusers | systemd-sysusers, systemd-standalone-tmpfiles | systemd-tmpfiles")
# npm installs the agents, crun runs images.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "npm, crun")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "postgresql, bash-completion")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${deploy}/debian/conffiles ${deploy}/debian/postinst ${deploy}/debian/prerm ${deploy}/debian/postrm)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"AgentRouter runs the real Codex and Claude Code programs in sandboxes of
their own, on copy-on-write workspaces, without a network and without the
provider's key inside. Runs are asked for over HTTP, followed live, approved
by people or policies, and kept with their events, changes and logs.

One program serves all of it on one machine, or several machines share a
PostgreSQL database and an S3 store.")
include(CPack)
