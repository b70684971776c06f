-- System tables of a mobile geodatabase as real files have them (mobile map package reference B.2).
CREATE TABLE GDB_Version(major int32 primary key not null, minor int32 not null, bugfix int32 not null, description text(96) not null, release int32 not null, sdesvr_rel_low int32 not null);
INSERT INTO GDB_Version VALUES(10, 5, 1, '10.5.1 Geodatabase', 105011, 93001);
CREATE TABLE st_aux_spatial_reference_systems(srid INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, auth_name TEXT(256), auth_srid INT32, srtext TEXT(2048), falsex FLOAT64 NOT NULL, falsey FLOAT64 NOT NULL, xyunits FLOAT64 NOT NULL, falsez FLOAT64 DEFAULT 0.0, zunits FLOAT64 DEFAULT 1.0, falsem FLOAT64 DEFAULT 0.0, munits FLOAT64 DEFAULT 1.0, xycluster_tol FLOAT64, zcluster_tol FLOAT64, mcluster_tol FLOAT64, object_flags INT32 DEFAULT 1);
CREATE TABLE st_geometry_columns(gcid INTEGER PRIMARY KEY AUTOINCREMENT, f_table_name CLOB NOT NULL, f_geometry_column CLOB NOT NULL, geometry_type INT32, coord_dimension INT32, srid INTEGER NOT NULL, spatial_index_type CLOB, CONSTRAINT gc_uk UNIQUE(f_table_name, f_geometry_column));
CREATE TABLE GDB_Layers(layer_id INTEGER PRIMARY KEY AUTOINCREMENT, description TEXT(65), table_name TEXT(128) NOT NULL, spatial_column TEXT(128) NOT NULL, eflags INT32 NOT NULL, layer_mask INT32 NOT NULL, minx FLOAT64 NOT NULL, miny FLOAT64 NOT NULL, maxx FLOAT64 NOT NULL, maxy FLOAT64 NOT NULL, minz FLOAT64, minm FLOAT64, maxz FLOAT64, maxm FLOAT64, cdate INT64 NOT NULL, minimum_id INT64, srid INTEGER NOT NULL, base_layer_id INTEGER NOT NULL, CONSTRAINT layer_uk UNIQUE(table_name, spatial_column));
CREATE TABLE GDB_Metadata(record_id INTEGER PRIMARY KEY AUTOINCREMENT, object_name TEXT(160) NOT NULL, object_type INT32 NOT NULL, class_name TEXT(32), property TEXT(32), prop_value TEXT(255), description TEXT(65), creation_date realdate);
CREATE TABLE GDB_TableRegistry(registration_id INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT(128) NOT NULL UNIQUE, rowid_column TEXT(32), description TEXT(65), object_flags INT32 NOT NULL, registration_date INT64 NOT NULL, minimum_id INT64);
CREATE TABLE GDB_Locators(locator_id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT(32) NOT NULL UNIQUE, category TEXT(32) NOT NULL, type INT32 NOT NULL, description TEXT(65));
CREATE TABLE GDB_ColumnRegistry(table_name TEXT(128) NOT NULL, column_name TEXT(32) NOT NULL, sde_type INT32 NOT NULL, column_size INT32, decimal_digits INT32, description TEXT(65), object_flags INT32 NOT NULL, object_id INT32, CONSTRAINT colregistry_pk PRIMARY KEY(table_name, column_name));
CREATE TABLE GDB_TablesModified(table_name text(32) not null, time_last_modified int64);
CREATE TABLE GDB_RowidGenerators(registration_id int32 not null, base_id int64 not null, num_ids int64 not null, last_id int64, CONSTRAINT GDB_RowidGenerators_pk PRIMARY KEY(registration_id, base_id));
CREATE TABLE GDB_Tables_Last_Modified(table_name text(160) not null unique, last_modified_count int32 not null);
CREATE TABLE GDB_Items(ObjectID integer primary key not null, UUID uuidtext check(typeof(UUID) = 'text' and length(UUID) = 38) not null unique, Type uuidtext check(typeof(Type) = 'text' and length(Type) = 38) not null, Name text(226), PhysicalName text(226), Path text(512), Url text(255), Properties int32, Defaults blob, DatasetSubtype1 int32, DatasetSubtype2 int32, DatasetInfo1 text(255), DatasetInfo2 text(255), Definition xmltext, Documentation xmltext, ItemInfo xmltext, Shape geometryblob);
CREATE TABLE GDB_ItemRelationships(ObjectID integer primary key not null, UUID uuidtext check(typeof(UUID) = 'text' and length(UUID) = 38) not null unique, Type uuidtext not null, OriginID uuidtext not null, DestID uuidtext not null, Properties int32, Attributes xmltext);
CREATE TABLE GDB_ItemTypes(ObjectID integer primary key not null, UUID uuidtext not null unique, Name text(226) not null, ParentTypeID uuidtext not null);
INSERT INTO GDB_ItemTypes(UUID, Name, ParentTypeID) VALUES
 ('{8405ADD5-8DF8-4227-8FAC-3FCADE073386}', 'Item', '{00000000-0000-0000-0000-000000000000}'),
 ('{F3783E6F-65CA-4514-8315-CE3985DAD3B1}', 'Folder', '{8405ADD5-8DF8-4227-8FAC-3FCADE073386}'),
 ('{28DA9E89-FF80-4D6D-8926-4EE2B161677D}', 'Dataset', '{8405ADD5-8DF8-4227-8FAC-3FCADE073386}'),
 ('{C673FE0F-7280-404F-8532-20755DD8FC06}', 'Workspace', '{28DA9E89-FF80-4D6D-8926-4EE2B161677D}'),
 ('{DC64B6E4-DC0F-43BD-B4F5-F22385DCF055}', 'Historical Marker', '{28DA9E89-FF80-4D6D-8926-4EE2B161677D}'),
 ('{CD06BC3B-789D-4C51-AAFA-A467912B8965}', 'Table', '{28DA9E89-FF80-4D6D-8926-4EE2B161677D}'),
 ('{70737809-852C-4A03-9E22-2CECEA5B9BFA}', 'Feature Class', '{28DA9E89-FF80-4D6D-8926-4EE2B161677D}'),
 ('{B606A7E1-FA5B-439C-849C-6E9C2481537B}', 'Relationship Class', '{28DA9E89-FF80-4D6D-8926-4EE2B161677D}'),
 ('{8C368B12-A12E-4C7E-9638-C9C64E69E98F}', 'Coded Value Domain', '{28DA9E89-FF80-4D6D-8926-4EE2B161677D}'),
 ('{5B966567-FB87-4DDE-938B-B4B37423539D}', 'Sync Replica', '{28DA9E89-FF80-4D6D-8926-4EE2B161677D}'),
 ('{D86502F9-9758-45C6-9D23-6DD1A0107B47}', 'Sync Dataset', '{28DA9E89-FF80-4D6D-8926-4EE2B161677D}');
CREATE TABLE GDB_ItemRelationshipTypes(ObjectID integer primary key not null, UUID uuidtext not null unique, Name text(226) not null, ForwardLabel text(226), BackwardLabel text(226), OrigItemTypeID uuidtext not null, DestItemTypeID uuidtext not null, IsContainment int16);
INSERT INTO GDB_ItemRelationshipTypes(UUID, Name, ForwardLabel, BackwardLabel, OrigItemTypeID, DestItemTypeID, IsContainment) VALUES
 ('{DC78F1AB-34E4-43AC-BA47-1C4EABD0E7C7}', 'DatasetInFolder', 'Contains Dataset', 'Contained in Dataset', '{F3783E6F-65CA-4514-8315-CE3985DAD3B1}', '{28DA9E89-FF80-4D6D-8926-4EE2B161677D}', 1),
 ('{725BADAB-3452-491B-A795-55F32D67229C}', 'DatasetsRelatedThrough', 'Origin Of', 'Destination Of', '{28DA9E89-FF80-4D6D-8926-4EE2B161677D}', '{28DA9E89-FF80-4D6D-8926-4EE2B161677D}', 0),
 ('{CC28387C-441F-4D7C-A802-41A160317FE0}', 'SyncDatasetInSyncReplica', 'Sync Dataset', 'Participates In Sync Replica', '{5B966567-FB87-4DDE-938B-B4B37423539D}', '{D86502F9-9758-45C6-9D23-6DD1A0107B47}', 1),
 ('{79CC71C8-B7D9-4141-9014-B6373E236ABB}', 'DatasetOfSyncDataset', 'Replicated Dataset', 'Dataset Of Sync Dataset', '{D86502F9-9758-45C6-9D23-6DD1A0107B47}', '{28DA9E89-FF80-4D6D-8926-4EE2B161677D}', 0);
CREATE TABLE GDB_ReplicaLog(ID integer primary key not null, ReplicaID int32 not null, Event int32 not null, ErrorCode int32 not null, LogDate realdate not null, SourceBeginGen int32 not null, SourceEndGen int32 not null, TargetGen int32 not null);
CREATE TABLE GDB_ServiceItems(OBJECTID integer primary key not null, DatasetName text(1024), ItemType int32, ItemId int32, ItemInfo text(100000000), AdvancedDrawingInfo text(100000000));
