// getConnection and deleteConnection of something else.
const pool = require("./pool");
module.exports.run = async () => {
  const connection = await pool.getConnection();
  await pool.deleteConnection(connection.id);
};
